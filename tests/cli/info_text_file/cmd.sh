# A text file.
echo 'This is a letter, not a model, and long enough to be read as a header.' >a.safetensors
filigree info a.safetensors
