# atari.mk - three games of Atari, an action for four frames, repeated with probability 0.25; scripts that read the console's memory are the experts.
PACKAGES = gymnasium ale-py
TASKS    = Pong Breakout Freeway
world    = ALE/$(1)-v5 --size 96 --max-steps 1000
RECORD   = --burst 0.02
EPISODES = 20
STEPS    = 6000
HELD     = Freeway
