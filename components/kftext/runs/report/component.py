"""KFP interface of the report that ends a run."""

from kfp import dsl
from kfp.dsl import HTML, Output, PipelineTaskFinalStatus

from kftext.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def report_run(
    run_name: str, run_id: str, report: Output[HTML], status: PipelineTaskFinalStatus
) -> None:
    """Say how the run ended: the state, which steps failed, and what each of them said last.

    Args:
        run_name: Name of the run.
        run_id: Id of the run, by which its pods are found.
        status: State of all steps before this one.

    Returns:
        report: Page with the state and the failures.
    """
    from kftext.cli import report_errors
    from kftext.runs.report.failures import find_failures
    from kftext.runs.report.report import write_report

    with report_errors():
        failures = [] if status.state == "SUCCEEDED" else find_failures(run_id)
        write_report(report.path, run_name, status.state, status.error_message or "", failures)
