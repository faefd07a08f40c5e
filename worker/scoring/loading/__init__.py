"""Reading a scorecard's file part by part: each gives values, or notes every mistake with its place and cure."""
