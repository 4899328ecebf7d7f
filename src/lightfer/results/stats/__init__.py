"""What measured figures allow to be said: intervals, tests, fronts, rank correlations.

Nothing here knows of models or files. SciPy is imported where it is used, so that importing this
package is cheap.

difference  an estimate with its bounds, a p-value, the correction for several
times       rounds of passes: a net, two nets of one run, two separate runs
two_stage   how many blocks of energy to take
accuracies  the same images, or different ones; several seeds
front       who is beaten by nobody, as far as that can be told
ranks       Spearman's rho, and Kendall's W of many rankers, with intervals
"""

from lightfer.results.stats.accuracies import between_seeds as between_seeds
from lightfer.results.stats.accuracies import compare_proportions as compare_proportions
from lightfer.results.stats.accuracies import mcnemar as mcnemar
from lightfer.results.stats.accuracies import prediction_interval as prediction_interval
from lightfer.results.stats.accuracies import wilson_interval as wilson_interval
from lightfer.results.stats.difference import Difference as Difference
from lightfer.results.stats.difference import Interval as Interval
from lightfer.results.stats.difference import holm as holm
from lightfer.results.stats.front import Objective as Objective
from lightfer.results.stats.front import pareto_front as pareto_front
from lightfer.results.stats.ranks import concordance as concordance
from lightfer.results.stats.ranks import rank_correlation as rank_correlation
from lightfer.results.stats.times import closest_majority as closest_majority
from lightfer.results.stats.times import compare_many_runs as compare_many_runs
from lightfer.results.stats.times import compare_runs as compare_runs
from lightfer.results.stats.times import corrected as corrected
from lightfer.results.stats.times import located as located
from lightfer.results.stats.times import time_intervals as time_intervals
from lightfer.results.stats.two_stage import two_stage_interval as two_stage_interval
from lightfer.results.stats.two_stage import two_stage_size as two_stage_size
