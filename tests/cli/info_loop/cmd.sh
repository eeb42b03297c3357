# A symbolic link to itself.
ln -s loop loop
filigree info loop
