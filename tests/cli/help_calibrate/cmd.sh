filigree calibrate --help
