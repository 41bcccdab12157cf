"""The life of plugin files, from a save in an editor to the last call on old code.

watcher     when files have settled
changes, look, window, writers, gitlock   what the system tells of files, what is there, how long to wait, who writes
discover    which files are plugins, and what is in them
installed   plugins that were installed with pip
graph       who imports whom; what has to be built again together
plan        what one sweep asks for: what to build, in which groups
compiled    a unit's sources as marshalled code, and what they tell without being executed
statename   what they tell of kept values
trial       what is asked of trial processes, and what their answers mean
trialspares, trialorigin, trialzygote, trialchild, trialframes   where they come from, what runs in them, how they talk
rehearsal   all plugins tried before they are needed
safety      safe mode: which plugins are left out
drift       packages on disk that are not what runs
loader      source bytes to fresh modules and handlers, beside the running ones
modules     module objects, and the lines of each generation
declared    what a fresh module declares
builder     the thread that executes plugin code before it is live, under a deadline
steps       quick work on the loop, under an alarm
claims      which plugin a command belongs to
handoff     what one version hands to the next: `keep` values, `setup`, `start`, `teardown`
state       kept values as the next version gets them: as they are, or through its `migrate`
carry       kept objects of a plugin's own classes, brought over to the new ones
attempt     one group on its way to the commit
refused     who waits for a command that somebody else has
reload      the transaction: plan, try, build, prepare, commit, retire, report
commit      what is live, and the one step that changes it
start       `start`, and the way back when it fails
names       the live modules' names in this process
imprint     what a generation changed in the process around it, and its end
commons     the places where that may be
strays      what plugin code starts or opens by itself
tidy        collects what old generations leave
leaks       names what can't be collected or ended
outcome     what a transaction came to
failures    what failed, and how that ended
report      the lines that admins read
history     what each unit has been, and its sources
past        going back: rollbacks, and the last good version at a start
probation   new versions that fail far more often than the one before
"""
