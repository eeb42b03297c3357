# By name; a name that does not exist is wrong usage.
filigree bench attention --n 64 --heads 1 --repetitions 1 --kernel filk_attn_fwd_any_row__ref --json |
    grep -c '"kernel":"filk_attn_fwd_any_row__ref","isa":"ref"'
filigree bench attention --kernel filk_mass_any_row__ref
