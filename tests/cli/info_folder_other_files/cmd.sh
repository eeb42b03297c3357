# A folder with other files only does not fit.
mkdir m
echo hello >m/README.md
filigree info m
