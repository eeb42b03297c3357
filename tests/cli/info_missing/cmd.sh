# A file that does not exist: input, exit code 5.
filigree info nowhere.safetensors
