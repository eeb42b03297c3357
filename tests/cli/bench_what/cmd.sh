filigree bench atention
