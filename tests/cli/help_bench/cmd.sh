filigree help bench | head -n 1
