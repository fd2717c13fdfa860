"""The strategy arena: shipped bidders compete on the real trace, and the regret of honesty is measured.

Rule of this folder: prices come from the real engine and never from a formula of ours; the set-up (`scenario`,
`options`) was fixed before its results were seen, and what came out is shown whatever it says.
"""
