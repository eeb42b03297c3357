# Options stand behind the verb.
filigree --json info x
