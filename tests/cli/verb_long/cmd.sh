# A very long verb is cut in the message.
filigree "$(printf '%05000d' 0)"
