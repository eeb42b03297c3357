filigree generate -m no-such-folder -p x -o a.mp4
