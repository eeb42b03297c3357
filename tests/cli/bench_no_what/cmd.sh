filigree bench
