# A zip archive that is no checkpoint.
printf 'PK\005\006\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000' >a.pth
filigree info a.pth
