# babyai.mk - rooms of BabyAI with missions: 56 x 56 egocentric images of 7 x 7 tiles, a code a tile; the bot is the expert.
PACKAGES = gymnasium minigrid
TASKS    = GoToRedBallGrey GoToRedBall GoToObj GoToLocal PickupLoc
world    = BabyAI-$(1)-v0
RECORD   = --burst 0.1
EPISODES = 2000
STEPS    = 6000
IMAGE    = 56
LARGE    = 168
UNSEEN   = 112
PATCH    = 8
WIDE     = model.context=400
FUTURE   = train.window=8 model.context=320
HELD     = PickupLoc
