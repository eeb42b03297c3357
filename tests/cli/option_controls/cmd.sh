# An option with terminal escapes is shown harmless.
filigree info "$(printf -- '--\033]0;x\007')"
