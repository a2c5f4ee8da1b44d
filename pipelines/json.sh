# json.sh - reads members of our JSON lines; sourced by scripts. Not a JSON parser: it reads what our programs write,
# one object per line, for a key whose value is a number, true, false, null or a string without commas and braces.
#
#   json_all FILE KEY     the value in each line that has KEY (the last one in a line that has it twice)
#   json_last FILE KEY    in the last such line      json_first FILE KEY    in the first
#   json_mean FILE KEY    the mean over all such lines, rounded; null when there is none
#   json_or_null VALUE    VALUE, or null when it is empty
json_all() { sed -n "s/.*\"$2\":\([^,}]*\).*/\1/p" "$1" 2>/dev/null; }
json_last() { json_all "$1" "$2" | tail -n 1; }
json_first() { json_all "$1" "$2" | head -n 1; }
json_mean() { json_all "$1" "$2" | awk '{ s += $1; n++ } END { if (n) printf "%.0f", s / n; else printf "null" }'; }
json_or_null() { printf '%s' "${1:-null}"; }
