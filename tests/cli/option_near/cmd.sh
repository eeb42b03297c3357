# A misspelt option is met with the nearest one.
filigree info --jsn x
