# babyai.mk - rooms of BabyAI with missions: 56 x 56 egocentric images of 7 x 7 tiles, a code a tile; the bot is the expert.
PACKAGES = gymnasium minigrid
TASKS    = GoToRedBallGrey GoToRedBall GoToObj GoToLocal PickupLoc
world    = BabyAI-$(1)-v0
RECORD   = --burst 0.1
EPISODES = 2000
STEPS    = 6000
