# An empty file.
: >a.safetensors
filigree info a.safetensors
