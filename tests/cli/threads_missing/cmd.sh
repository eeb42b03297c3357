# --threads at the end of the line.
filigree info x --threads
