# metaworld.mk - the ten tasks of MT10: what a camera shows and where the hand is; scripted policies are the experts. The goal is seen, not told.
PACKAGES = gymnasium metaworld packaging pygame
TASKS    = reach push pick-place door-open drawer-open drawer-close button-press-topdown peg-insert-side window-open window-close
world    = metaworld:$(1)-v3 --size 64 --cameras corner2 --first 4 --stop-on-success --max-steps 200
RECORD   = --noise 0.3 --noise-episodes 0.5
TOKENIZE = --successful
EPISODES = 100
STEPS    = 6000
IMAGE    = 64
LARGE    = 128
UNSEEN   = 96
PATCH    = 16
WIDE     = model.context=160
RUNS     = --successful
FUTURE   = train.window=8 model.context=96
HELD     = window-close
