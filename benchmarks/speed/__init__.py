"""How fast propend is, stage by stage and beside other engines, on event logs of a million to 200 million rows."""
