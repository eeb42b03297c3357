# A misspelt verb is met with the nearest one.
filigree inof x
