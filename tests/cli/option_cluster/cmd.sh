# Short flags combine; an unknown letter among them is refused.
filigree info -vvy x
