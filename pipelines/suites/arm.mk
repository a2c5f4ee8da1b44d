# arm.mk - the simulated arm that gato brings along, 64 x 64 from above; a control law is the expert. For compare.mk and generalist.mk; the pipeline
# of its own is ../arm.mk.
BUILT_IN = yes
TASKS    = reacher
RECORD   = --burst 0.15 --noise 0.3 --noise-episodes 0.5
TOKENIZE = --frames 10 --spread
EPISODES = 3000
STEPS    = 4800
CONFIG   = demo
IMAGE    = 64
LARGE    = 128
UNSEEN   = 96
PATCH    = 16
# A token a code or patch needs this context, and sequences of steps in a row these settings.
WIDE     = model.context=96
RUNS     = --frames 20
FUTURE   = train.window=8 model.context=64
# One checkpoint over suites (generalist.mk) learns these tasks, and that one it never sees before it is tuned.
LEARNED  = reacher grid
HELD     = pusher
