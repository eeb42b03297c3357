# A failure leaves stdout empty.
filigree info --json missing
