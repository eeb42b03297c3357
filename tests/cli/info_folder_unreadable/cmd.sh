# A folder without read permission.
mkdir m
chmod 000 m
if ls m >/dev/null 2>&1; then
    echo "root reads everything" >&2
    exit 77
fi
filigree info m
