"""What papers print: the ablation tables of the methods' papers, and the survey that orders the field."""
