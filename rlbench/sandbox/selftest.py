def choose_tier(tier):
    return tier or "A"
