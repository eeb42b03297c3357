# A path of 5000 bytes: input, exit code 5, in one short line.
filigree info "$(printf '%05000d' 0)"
