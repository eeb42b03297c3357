# Wrong values are told before anything is measured.
filigree bench dit --grid 5,16; test $? = 2 || exit 1
filigree bench dit --grid 5,0,26; test $? = 2 || exit 1
filigree bench dit --attn dense,spare --density 0.5; test $? = 2 || exit 1
filigree bench dit --attn window; test $? = 2 || exit 1
filigree bench dit --density 0.5; test $? = 2 || exit 1
filigree bench dit --model-config none.json; test $? = 5 || exit 1
echo '{"_class_name": "WanModel", "dim": 100}' >bad.json
filigree bench dit --model-config bad.json; test $? = 3 || exit 1
filigree bench dit --model-config 14b --layers 40 --max-memory 1G; test $? = 4 || exit 1
