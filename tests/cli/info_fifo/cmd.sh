# A fifo is refused and not waited for.
mkfifo pipe
filigree info pipe
