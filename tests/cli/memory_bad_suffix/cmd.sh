# A suffix that is not ours is refused, in any case of letters.
for size in 1KB 1k 1X 1KiBB K 1.5G '1 G' ''; do
    filigree info --max-memory "$size" x
    echo $?
done
