"""Rows of a file as requests, and which server they go to."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from modelyard.cli.predict import BATCH_ROWS, Arrays, arrays_of, bodies, predict_command
from modelyard.errors import InputError
from modelyard.local import services
from modelyard.settings import Paths, Settings


def written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", "age,plan\n41,basic\n,new\n"),
        ("rows.tsv", "age\tplan\n41\tbasic\n\tnew\n"),
        ("semicolons.csv", "age;plan\n41;basic\n;new\n"),
        ("bars.csv", "age|plan\n41|basic\n|new\n"),
        ("excel.csv", "\ufeffage,plan\r\n41,basic\r\n,new\r\n"),
    ],
)
def test_cells_of_text_files_are_sent_as_they_stand(name: str, text: str, tmp_path: Path) -> None:
    """The model itself reads the texts, missing cells too, as it did in training."""
    expected = [{"age": "41", "plan": "basic"}, {"age": "", "plan": "new"}]

    sent = list(bodies(written(tmp_path / name, text), arrays=None))

    assert sent == [{"dataframe_records": expected}]


def test_parquet_rows_keep_their_types(tmp_path: Path) -> None:
    """Numbers stay numbers, and null stays null."""
    file = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"age": [41, None], "plan": ["basic", "new"]}), file)
    expected = [{"age": 41, "plan": "basic"}, {"age": None, "plan": "new"}]

    assert list(bodies(file, arrays=None)) == [{"dataframe_records": expected}]


def test_a_model_of_images_gets_arrays(tmp_path: Path) -> None:
    """A CSV of pixels becomes rows of numbers without names."""
    file = written(tmp_path / "rows.csv", "p0,p1\n0,15\n1,2.5\n")

    assert list(bodies(file, arrays=Arrays(shape=(2,)))) == [
        {"instances": [[0.0, 15.0], [1.0, 2.5]]}
    ]


@pytest.mark.parametrize("shape", [(3, 4, 3), (3, 4, 1), (3, 4)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_picture_is_brought_to_what_the_model_learnt_from(
    shape: tuple[int, ...], mode: str, tmp_path: Path
) -> None:
    """Its size and channels are those of the model's example, which is where they are known."""
    file, paths = tmp_path / "new.png", Paths(tmp_path)
    Image.new(mode, (8, 6), 200 if mode == "L" else (200, 200, 200)).save(file)
    example = {"instances": np.zeros((2, *shape)).tolist()}
    (tmp_path / "models" / "signs").mkdir(parents=True)
    written(tmp_path / "models" / "signs" / "example.json", json.dumps(example))

    (body,) = bodies(file, arrays_of("signs", paths))

    assert np.array(body["instances"]).shape == (1, *shape)
    assert set(np.ravel(body["instances"])) == {200}


def test_a_picture_for_a_model_of_tables_is_bad_input(tmp_path: Path) -> None:
    """Rows of a table can't be made of it."""
    with pytest.raises(InputError, match="takes no images"):
        list(bodies(written(tmp_path / "new.png", "x"), arrays=None))


def test_a_picture_for_other_channels_is_bad_input(tmp_path: Path) -> None:
    """A picture has one channel or three; an array of another number isn't made of it."""
    file = tmp_path / "new.png"
    Image.new("RGB", (4, 3)).save(file)

    with pytest.raises(InputError, match=r"new\.png is a picture.* arrays of 4 channels"):
        list(bodies(file, Arrays(shape=(3, 4, 4))))


@pytest.mark.parametrize(
    ("mode", "arrays", "said"),
    [
        ("I;16", Arrays(shape=(3, 4, 3)), "grey with more than 8 bits a pixel"),
        ("I;16", Arrays(shape=(3, 4), largest=200.0), "more than 8 bits .* such as 200"),
        ("L", Arrays(shape=(3, 4), largest=40000.0), "has 8 bits .* such as 40000"),
        ("I;16", Arrays(shape=(3, 4), largest=40000.0), None),
        ("L", Arrays(shape=(3, 4, 1), largest=255.0), None),
    ],
)
def test_a_picture_has_the_bits_of_those_learnt_from(
    mode: str, arrays: Arrays, said: str | None, tmp_path: Path
) -> None:
    """Sixteen bits for a model of eight, or the reverse, would be answered by chance."""
    file = tmp_path / "new.png"
    Image.new(mode, (4, 3), 7).save(file)
    if said is None:
        (body,) = bodies(file, arrays)
        assert np.array_equal(body["instances"], np.full((1, *arrays.shape), 7))
        return
    with pytest.raises(InputError, match=said):
        list(bodies(file, arrays))


def test_an_example_tells_the_largest_pixel(tmp_path: Path) -> None:
    """Of all its rows; an example that isn't whole tells nothing."""
    folder = tmp_path / "models" / "signs"
    folder.mkdir(parents=True)
    written(folder / "example.json", '{"instances": [[[1, 2]], [[300, 4]]]}')
    assert arrays_of("signs", Paths(tmp_path)) == Arrays(shape=(1, 2), largest=300.0)
    written(folder / "example.json", '{"instances": []}')
    assert arrays_of("signs", Paths(tmp_path)) is None


def test_many_rows_go_in_several_requests(tmp_path: Path) -> None:
    """No request holds more than a thousand rows, and none is lost."""
    rows = "\n".join(str(number) for number in range(BATCH_ROWS + 1))
    sent = list(bodies(written(tmp_path / "rows.csv", f"x\n{rows}\n"), arrays=None))

    assert [len(body["dataframe_records"]) for body in sent] == [BATCH_ROWS, 1]


def test_json_is_a_list_of_rows_or_a_whole_request(tmp_path: Path) -> None:
    """A list of rows is wrapped; a request in one of the model server's shapes is sent as it is."""
    rows = written(tmp_path / "rows.json", '[{"x": 1}]')
    request = written(tmp_path / "request.json", '{"inputs": [[1, 2]]}')

    assert list(bodies(rows, arrays=None)) == [{"dataframe_records": [{"x": 1}]}]
    assert list(bodies(request, arrays=Arrays(shape=(2,)))) == [{"inputs": [[1, 2]]}]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("rows.xlsx", "x", "give .csv"),
        ("rows.json", "{", "not JSON"),
        ("rows.json", "[" * 100_000, "not JSON"),
        ("rows", "x", "has no suffix; give .csv"),
        ("rows.json", "{}", "dataframe_records"),
        ("rows.csv", "x\n", "no rows"),
        ("rows.csv", "x,y\n1\n", "line 2 has 1 cells"),
        ("rows.parquet", "PAR", "no Parquet"),
    ],
)
def test_unusable_files_are_bad_input(name: str, text: str, said: str, tmp_path: Path) -> None:
    """The error names the file and what is wrong with it."""
    with pytest.raises(InputError, match=said) as caught:
        list(bodies(written(tmp_path / name, text), arrays=None))

    assert name in str(caught.value)


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(InputError, match=r"gone\.csv"):
        list(bodies(tmp_path / "gone.csv", arrays=None))


def test_what_is_no_file_is_bad_input(tmp_path: Path) -> None:
    """A folder, a pipe, and a name that no file can have."""
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name, said in (
        ("pipe.csv", "is a pipe or a device"),
        ("folder.csv", "is a folder"),
        (f"{'a' * 300}.csv", "can't be read: File name too long"),
    ):
        with pytest.raises(InputError, match=said):
            list(bodies(tmp_path / name, arrays=None))


class Model(http.server.BaseHTTPRequestHandler):
    """Answers as a model server does: predictions, or 422 for a column named wrong."""

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        good = "wrong" not in rows["dataframe_records"][0]
        predictions = [{"prediction": "yes", "confidence": 0.75}] * len(rows["dataframe_records"])
        answer: dict[str, Any] = {"model": "churn", "version": "3", "predictions": predictions}
        self.send_response(200 if good else 422)
        self.end_headers()
        self.wfile.write(json.dumps(answer if good else {"error": "no column wrong"}).encode())

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def serving() -> Iterator[Paths]:
    """A home with one model server, which is this process."""
    paths = Settings().paths
    services.prepare_home(paths)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        name = f"model-churn.3.{server.server_port}"
        service = services.Service(
            name=name,
            process=os.getpid(),
            started=psutil.Process().create_time(),
            address=f"http://127.0.0.1:{server.server_port}",
        )
        paths.service(name).write_text(json.dumps(service.__dict__))
        yield paths
        server.shutdown()


@pytest.mark.parametrize("name", ["churn", None])
def test_predictions_are_printed_as_one_document(
    name: str | None, serving: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--json prints model, version and one prediction a row; the only model needs no name."""
    assert arrays_of("churn", serving) is None

    predict_command(name, written(tmp_path / "rows.csv", "x\n1\n2\n"), json_output=True)

    assert json.loads(capsys.readouterr().out) == {
        "model": "churn",
        "version": 3,
        "predictions": [{"prediction": "yes", "confidence": 0.75}] * 2,
    }


@pytest.mark.usefixtures("serving")
def test_cells_that_are_nan_are_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """NaN is a cell without a value, as pandas writes it to Parquet, and no error of ours."""
    file = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"x": [1.5, float("nan")]}), file)

    predict_command("churn", file, json_output=True)

    assert len(json.loads(capsys.readouterr().out)["predictions"]) == 2


@pytest.mark.usefixtures("serving")
def test_rows_that_the_model_refuses_are_bad_input(tmp_path: Path) -> None:
    """The model server's own sentence is passed on."""
    with pytest.raises(InputError, match="no column wrong"):
        predict_command("churn", written(tmp_path / "rows.csv", "wrong\n1\n"), json_output=False)


@pytest.mark.usefixtures("serving")
def test_an_unknown_model_is_answered_with_those_that_serve(tmp_path: Path) -> None:
    """The names that would be right are listed."""
    with pytest.raises(InputError, match="there are: churn"):
        predict_command("chrun", tmp_path / "rows.csv", json_output=False)
