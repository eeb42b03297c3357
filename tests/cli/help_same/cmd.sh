# 'help VERB', -h and --help of each verb agree.
for verb in info help; do
    filigree help "$verb" >a && filigree "$verb" -h >b && filigree "$verb" --help >c || exit
    cmp a b && cmp a c || exit
done
