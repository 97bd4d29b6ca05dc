"""Every study keeps one contract: files, results, page, resume, refusals."""

import itertools
import json
import shutil

import numpy as np
import pytest
from run_helpers import (
    assert_same,
    contents,
    quick_pictures,
    run_study,
    stopped,
)
from strict_page import Page, assert_stands_alone

from experiments import page as page_command
from experiments.common import files, run_folder, study
from experiments.common.files import json_ready
from experiments.common.run_folder import RunFolder
from experiments.studies import STUDIES

# Those that measure seconds, which are others in every run.
TIMED = {
    "nearest_neighbor",
    "benchmark_neighbors",
    "benchmark_solvers",
    "benchmark_sweep",
}
# Those that run with --full only.
LONG = {
    *TIMED,
    "certified_optima",
    "error_decomposition",
    "influence",
    "svm_vs_softmax",
}


@pytest.fixture(
    params=[
        pytest.param(name, marks=[pytest.mark.full] * (name in LONG))
        for name in STUDIES
    ]
)
def whole(request, finished_study):
    """A study, the folder of a run that was never stopped, and what it printed."""
    made, run, printed = finished_study(request.param)
    return made, run.folder.path, printed


def settled(made):
    """The config of a smoke test, with what its data decide."""
    smoke = made.presets["smoke"]
    dataset, _ = made.load(smoke, None)
    return made.settle(smoke, dataset)


def parts_of(made):
    return list(made.parts(settled(made)))


def test_a_run_leaves_its_files(whole):
    made, out, printed = whole
    assert (out / "STATUS").read_text() == "done\n"
    assert printed.splitlines()[-1] == str(out / "report.html")
    config = json.loads((out / "config.json").read_text())
    assert config == json_ready(settled(made))
    saved = json.loads((out / "results.json").read_text())
    assert saved.keys() == {"study", "parts", "seconds"}
    assert saved["study"] == made.name
    assert set(saved["parts"]) == set(saved["seconds"]) == set(parts_of(made))
    for seconds in saved["seconds"].values():
        assert seconds.keys() == {"compile", "run"}
    headlines = made.headlines(saved["parts"])
    assert headlines
    assert all(np.isfinite(value) for value in headlines.values())
    lines = printed.splitlines()
    assert all(f"{name}: {value:.6g}" in lines for name, value in headlines.items())
    assert len((out / "results.csv").read_text().splitlines()) > 1
    _, facts = made.load(made.presets["smoke"], None)
    assert (out / "data.json").exists() == (facts is not None)
    if facts is not None:
        assert json.loads((out / "data.json").read_text()) == files.json_ready(facts)


def test_its_page_is_well_formed_and_shows_every_figure(whole):
    made, out, _ = whole
    text = (out / "report.html").read_text()
    page = Page(text)
    assert_stands_alone(page)
    assert len(page.images) == len(list((out / "figures").iterdir())) > 0
    assert all(image["alt"] for image in page.images)
    assert len(set(page.ids)) == len(page.ids) > 2
    assert page.links == [f"#{name}" for name in page.ids]
    assert page.text["h2"][-1] == "Run"
    assert f"python -m experiments.{made.name}, run run" in text
    assert (
        json.loads((out / "environment.json").read_text())["command"]
        in (page.text["pre"])
    )
    shown = page.text["main"][0]
    # A placeholder that was never filled in.
    assert not {"{", "}", "%s", "None", "nan"} & set(shown.split())
    assert "{{" not in shown
    assert all(f"{name}" in shown for name in json_ready(made.config))


def test_the_page_of_a_run_is_made_again_without_measuring(
    whole, tmp_path, monkeypatch
):
    _, finished, _ = whole
    out = tmp_path / finished.name
    shutil.copytree(finished, out)
    before = contents(out)
    (out / "report.html").unlink()
    for path in (out / "figures").iterdir():
        path.unlink()
    monkeypatch.setattr(study, "_measure", None)
    with quick_pictures():
        assert page_command.write(out) == out / "report.html"
    assert contents(out) == before


def killed(*, after):
    """Ends a run between the arrays and the numbers of a part, after so many parts."""
    calls = itertools.count()

    def now(folder, name, value):
        return name.startswith("parts/") and next(calls) == after

    return stopped(RunFolder, "write_json", now=now, before=True)


def measured(out):
    """Files of what was measured."""
    return {
        name: content
        for name, content in contents(out).items()
        if name.startswith("parts/") or name == "results.json"
    }


def test_a_run_killed_in_each_part_is_the_same_bit_for_bit(whole, tmp_path):
    made, out, _ = whole
    again = tmp_path / "run"
    with killed(after=0):
        run_study(made.name, out=again)
    for _ in parts_of(made)[1:]:
        assert (again / "STATUS").read_text().startswith("failed")
        assert not (again / "report.html").exists()
        with killed(after=1):
            run_study(made.name, resume=again)
    run_study(made.name, resume=again)
    kept = measured(again)
    run_study(made.name, resume=again, page=False)
    # With the seconds of each part, which a second measurement would change.
    assert measured(again) == kept
    if made.name in TIMED:
        assert contents(again).keys() == contents(out).keys()
    else:
        assert_same(again, out)


def test_an_index_lists_runs_with_what_differs(whole, tmp_path):
    made, out, _ = whole
    for copy in ("first", "second"):
        shutil.copytree(out, tmp_path / copy)
    RunFolder(tmp_path / "first").write_json("config.json", json_ready(made.config))
    RunFolder(tmp_path / "second").set_status("interrupted")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.json").write_text("{}")
    path = page_command.write(tmp_path)
    assert path == tmp_path / "index.html"
    page = Page(path.read_text())
    assert page.links[-2:] == ["first/report.html", "second/report.html"]
    first, second = (row.split("\n")[0] for row in page.text["tr"][1:3])
    assert "defaultsdone" in first
    assert "interrupted" in second
    assert "foreign" in page.text["table"][-1]
    # One finished run is compared with none.
    assert page.images == []
    RunFolder(tmp_path / "second").set_status("done")
    page_command.write(tmp_path)
    assert len(Page(path.read_text()).images) == 1


def test_folders_that_have_no_page_are_refused(tmp_path):
    with pytest.raises(ValueError, match="folder must be a run or hold runs, got"):
        page_command.write(tmp_path)
    folder = run_folder.create(tmp_path / "run", config={})
    with pytest.raises(ValueError, match="folder must be a run of .*viewpoints"):
        page_command.write(folder.path)


def test_a_run_without_all_parts_has_no_page(whole, tmp_path):
    made, out, _ = whole
    shutil.copytree(out, tmp_path / "run")
    last = parts_of(made)[-1]
    (tmp_path / "run" / "parts" / f"{last}.json").unlink()
    with pytest.raises(ValueError, match=f"without {last}; continue it with --resume"):
        page_command.write(tmp_path / "run")
