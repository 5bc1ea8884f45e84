"""KFP interface of the quality gate's other side."""

from kfp import dsl

from kftext.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def reject_model(metric: str, value: float, minimum: float) -> None:
    """End the run: the model is not as good as was asked for, so it is neither registered nor deployed.

    Args:
        metric: What was measured.
        value: What the model reached.
        minimum: What it should have reached.
    """
    from kftext.cli import report_errors
    from kftext.errors import QualityError

    with report_errors():
        raise QualityError(
            f"{metric} is {value:.4g}, below the minimum of {minimum:g}: the model is neither registered nor deployed"
        )
