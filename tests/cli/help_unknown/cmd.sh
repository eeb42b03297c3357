# help of an unknown verb is wrong usage.
filigree help transmogrify
