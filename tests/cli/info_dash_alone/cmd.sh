# A single dash is a file name, not standard input.
filigree info -
