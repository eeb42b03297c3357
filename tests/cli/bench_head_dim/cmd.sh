filigree bench attention --head-dim 96
