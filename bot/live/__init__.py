"""The life of plugin files, from a save in an editor to the last call on old code.

discover    which files are plugins, and what is in them
graph       who imports whom; what has to be built again together
plan        what one sweep asks for: what to build, in which groups
compiled    a unit's sources as marshalled code, and what they tell without being executed
trial       what is asked of trial processes, and what their answers mean
trialspares, trialzygote, trialchild, trialframes   where they come from, what runs in them, how they talk
drift       packages on disk that are not what runs
loader      source bytes to fresh modules and handlers, beside the running ones
claims      which plugin a command belongs to
steps       quick work on the loop, under an alarm
attempt     one group on its way to the commit
failures    what failed, and how that ended
handoff     what one version hands to the next: `keep` values, `setup`, `start`, `teardown`
declared    what a fresh module declares
builder     the thread that executes plugin code before it is live, under a deadline
names       the live modules' names in this process
reload      the transaction: plan, build, prepare, commit, retire, report
report      the lines that admins read
tidy        collects what old generations leave
watcher     when files have settled
"""
