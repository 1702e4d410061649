"""The claims of the study `graph_navigation`."""

from jaxsynth.studies.claim import Claim, Gate

UNTRAINED = 'the model at step 0, through the same pipeline'

CLAIMS = (
  Claim(
    'stepwise_beats_direct',
    'Who writes a path down before answering is right about more unseen '
    'pairs: share of right labels less that of direct answers.',
    'about .30 on the hierarchical graph, .15 on the Bernoulli graph',
    'label accuracy, direct against stepwise',
    Gate('>=', 0.10),
    'both models at step 0, through the same pipeline',
    'The source trains on 20 % of the pairs of 10 layers of 20 nodes, here it '
    'is half of those of 6 layers of 12. The calibrated run had .186.',
  ),
  Claim(
    'stepwise_beats_span',
    'It is right about more pairs than who reads only how many layers lie '
    'between the nodes.',
    'not stated',
    'a control of ours',
    Gate('>=', 0.10, tests='direction'),
    UNTRAINED,
    'In the calibrated run the span alone gave .720.',
  ),
  Claim(
    'direct_reads_more_than_span',
    'Direct answers are right about more pairs than the span alone.',
    'not stated',
    'a control of ours',
    note='Not gated: a control. In the calibrated run .034 more.',
  ),
  Claim(
    'gap_grows_with_shorter_spans',
    'The advantage of writing paths down is larger where training had only '
    'pairs two layers apart than where it had all: difference of the two '
    'gaps, over all unseen pairs.',
    'the gap grows as paths in training get shorter',
    'path-length restriction, spans 2, 3, 4',
    note='Not gated: it did not appear in pilots. Over all unseen pairs the '
    'gap was .117 and .140 with spans up to 2, .163 and .135 with up to 4: '
    'both formats lose by the restriction. On each span beyond it alone the '
    'difference had either sign, from -.27 to .13. Other graphs, longer '
    'training and pairs of one span were not tried.',
  ),
  Claim(
    'edges_before_plans',
    'Valid steps are learnt before plans: updates from when 95 % of the '
    'written steps are edges to when 95 % of the valid paths reach the goal.',
    'missteps vanish first, failures of planning about 200 steps later',
    'failures over training',
    Gate('>', 0.0, tests='direction'),
    'the same with edges and plans exchanged',
  ),
  Claim(
    'failures_are_of_planning',
    'In the end the paths that fail are valid and miss the goal: their share '
    'less that of paths with a step that is no edge.',
    'failures of planning remain after missteps have gone',
    'failures over training',
    Gate('>', 0.0, tests='direction'),
    UNTRAINED,
  ),
  Claim(
    'accuracy_falls_with_temperature',
    'Sampled at higher temperature fewer paths are valid and arrive: share '
    'at the lowest less share at the highest.',
    'accuracy falls with temperature',
    'temperature, accuracy and diversity',
    Gate('>=', 0.5, tests='direction'),
    UNTRAINED,
  ),
  Claim(
    'accuracy_never_rises',
    'It falls at every temperature: the largest rise from one to the next.',
    'monotone',
    'temperature, accuracy and diversity',
    note='Not gated: an untrained model does not rise either.',
  ),
  Claim(
    'diversity_peaks_inside',
    'The number of different valid paths rises and falls with temperature: '
    'the most at an inner one over the more at the two ends.',
    'an interior maximum, at a temperature of about .5 to 1',
    'temperature, accuracy and diversity',
    Gate('>=', 1.5, tests='direction'),
    UNTRAINED,
  ),
  Claim(
    'short_paths_preferred',
    'Paths sampled on a Bernoulli graph at temperature 1 are shorter than all '
    'paths are: share of unseen pairs whose valid paths have a smaller mean '
    'length.',
    'a bias to short paths',
    'path lengths',
    note='Not gated: the pilots went the other way, .46 and .30 where uniform '
    'paths had .40 and .38, and so after half of the training.',
  ),
  Claim(
    'short_path_bias',
    'By how much: mean over these pairs of the mean length, in edges, less '
    'that of all paths.',
    'negative; no number was read',
    'path lengths',
    note='Not gated: .08 and .31 edges longer in pilots.',
  ),
  Claim(
    'short_paths_preferred_greedily',
    'The same of the one path written greedily.',
    'a bias to short paths',
    'path lengths',
    note='Not gated: no pilot was run.',
  ),
  Claim(
    'short_path_bias_greedily',
    'The same of the one path written greedily: edges less the mean of all.',
    'negative; no number was read',
    'path lengths',
    note='Not gated: no pilot was run.',
  ),
  Claim(
    'additive_rule_is_valid',
    'A network of one layer of attention works by a sum, what the goal says '
    'for a candidate plus what the current node says: share of places in '
    'traces of unseen pairs at which the best candidate of this sum, read off '
    'the weights, is an edge.',
    '.998',
    'mechanism, one layer and one head',
    Gate('>=', 0.95),
    UNTRAINED,
    'Pilots: .991 and .994. Without what the tokens besides goal and current '
    'node add on average, and with one mean attention for all goals, .949 and '
    '.953.',
  ),
  Claim(
    'additive_rule_everywhere',
    'The same over all nodes and goals with a path between them.',
    'not stated',
    'mechanism, one layer and one head',
    note='Not gated: no published number. Pilots: .945 and .961.',
  ),
  Claim(
    'additive_rule_is_the_network',
    'Of the candidates the network itself prefers there and that are edges, '
    'the sum prefers the same: share.',
    'the sum reproduces the network',
    'mechanism, one layer and one head',
    Gate('>=', 0.8, tests='direction'),
    UNTRAINED,
    'Pilots: .879 and .883.',
  ),
  Claim(
    'goals_point_to_near_nodes',
    'What a goal says for a candidate falls with the number of edges between '
    'them: correlation.',
    'the inner product reflects distance on the graph',
    'mechanism, one layer and one head',
    note='Not gated: no number was read, and no pilot was run.',
  ),
  Claim(
    'unseen_orders_are_followed',
    'With exemplars in the context, paths follow them through motifs in '
    'orders never trained: least share over the numbers of intermediate '
    'motifs K in training.',
    'high for K up to 4, the most in training',
    'exemplars of motifs',
    Gate('>=', 0.6, tests='direction'),
    UNTRAINED,
    'Pilots, one training each: .86 and .99 (seeds 1000 and 1001).',
  ),
  Claim(
    'longer_chains_fail',
    'Chains with more motifs than in training are not followed: that share '
    'less the one at the largest K.',
    'a sharp drop at K = 5 and 6',
    'exemplars of motifs',
    Gate('>=', 0.4, tests='direction'),
    UNTRAINED,
    'Pilots: .86 and .99; at K = 4 no path followed. Positions beyond the '
    'longest document in training have vectors never trained.',
  ),
  Claim(
    'first_chain_wins',
    'Of two chains with the same ends in one context the first is followed: '
    'its share among the paths that follow either.',
    '70 to 80 %',
    'conflicting exemplars',
    note='Not gated: in pilots neither was followed: two chains make a longer '
    'context than any in training.',
  ),
)
