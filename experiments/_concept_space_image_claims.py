"""The claims of the study `concept_space`: images.

Thresholds are from pilot seeds 1000 to 1002 of denoisers and 1100 to 1102 of
classifiers, and were fixed before the reported seeds ran.
"""

from jaxsynth.studies.claim import Claim, Gate

IMAGES = (
  Claim(
    'the_classifier_reads_images',
    'The classifier that judges images reads them: share with all concepts '
    'right, the least of new images of all classes, of those of the class that '
    'no denoiser sees, and of noiseless ones.',
    'not discussed: the classifier is a tool',
    'a network with a head for each concept, trained on all classes',
    Gate('>=', 0.95),
    'the classifier before training',
    'Pilots: 0.996 in all three seeds. The mean of the image alone, and '
    'training without noise, read real images as well, but called pale blue '
    'generations red.',
  ),
  Claim(
    'templates_read_generations_alike',
    'What denoisers generate under plain prompts at the last snapshots is read '
    'the same by the classifier and by the nearest template, least over '
    'signals.',
    'not discussed',
    'a check of this reproduction',
    note='Reported only. Generations of the held-out class are paler than any '
    'real image.',
  ),
  Claim(
    'images_learn_the_held_out_class',
    'A U-Net generates images of the class that it never saw: share read so by '
    'the classifier at the last snapshots, where colour is strongest.',
    'compositional generalisation at the end of training',
    'the trajectories in concept space end at the held-out corner',
    Gate('>=', 0.5, tests='direction'),
    'the network before training, through the same pipeline',
    'Pilots: 0.63, 0.94 and 0.63 at least by any of three classifiers, 1, 1 '
    'and 0.88 at most; 1, 1 and 0.96 by the nearest template. A learning rate '
    'of 0.002 with blurred shapes and a weaker colour (0.5) gave 0.29; a '
    'constant rate goes on losing the class now and then; 1,200 steps gave '
    'less.',
  ),
  Claim(
    'images_learn_it_by_templates',
    'The same, read by the nearest template.',
    'compositional generalisation at the end of training',
    'the trajectories in concept space end at the held-out corner',
    note='Reported only: a check of the classifier.',
  ),
  Claim(
    'images_lean_to_colour',
    'By the mean probabilities of the classifier the path of the held-out '
    'class first makes for 10, blue and big, where colour is strongest: '
    'distance from the diagonal to that side.',
    'concept memorisation: the corner of the stronger concept first',
    'trajectories for large colour signals',
    note='Not gated: the classifiers were settled after the last pilot of '
    'whole trainings. 0.71 is the corner.',
  ),
  Claim(
    'steering_shows_a_hidden_capability_of_images',
    'While the plain prompt gives at most half, adding the direction of size '
    'to the embedded condition gives the held-out class: share at the best '
    'snapshot and strength, where colour is strongest.',
    'linear latent interventions elicit the capability before prompts do',
    'interventions at the turn',
    null='a random direction of the same length',
    note='Not gated: in pilots, read by a single classifier, 0.81, 1 and 0.75, '
    'and a random direction did nearly as well: 0.75, 0.88 and 0.69.',
  ),
)
