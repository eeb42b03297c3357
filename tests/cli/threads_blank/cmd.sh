# --threads ' 4': no blanks.
filigree info --threads ' 4' x
