"""Reading the candidates for planets of Kepler, TESS and K2 from the exoplanet archive's CSV."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelyard.data.csv_file import read_csv
from modelyard.data.published import absent
from modelyard.data.table import Table, listed
from modelyard.errors import DataError

ANY = frozenset({"rowid", "loc_rowid", "rastr", "decstr", "rowupdate"})
"""Columns of the archive's own bookkeeping, and positions written a second time."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """One table.

    Args:
        target: the column of dispositions.
        star: the column that names the star; planets of one star share what is known of it.
        only: column that is 1 in the one row of an object that is taken; None takes all.
        unlearnt: columns that name the object, or that were decided together with the
            disposition or because of it: learning from them would be copying the answer.
    """

    target: str
    star: str
    only: str | None = None
    unlearnt: frozenset[str]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


TABLES = {
    "kepler": Candidates(
        target="koi_disposition",
        star="kepid",
        unlearnt=_names(
            "kepoi_name kepler_name koi_vet_stat koi_vet_date koi_pdisposition koi_score "
            "koi_fpflag_nt koi_fpflag_ss koi_fpflag_co koi_fpflag_ec koi_disp_prov koi_comment "
            "koi_count koi_parm_prov koi_sparprov koi_tce_delivname koi_datalink_dvr "
            "koi_datalink_dvs"
        ),
    ),
    "tess": Candidates(
        target="tfopwg_disp",
        star="tid",
        unlearnt=_names(
            "toi toidisplay toipfx ctoi_alias pl_pnum toi_created release_date sectors"
        ),
    ),
    "k2": Candidates(
        target="disposition",
        star="hostname",
        only="default_flag",
        unlearnt=_names(
            "pl_name pl_letter k2_name epic_hostname epic_candname hd_name hip_name tic_id gaia_id "
            "gaia_dr2_id gaia_dr3_id default_flag disp_refname sy_snum sy_pnum sy_mnum "
            "discoverymethod disc_year disc_refname disc_pubdate disc_locale disc_facility "
            "disc_telescope disc_instrument soltype pl_controv_flag pl_refname st_refname "
            "sy_refname pl_pubdate releasedate rv_flag pul_flag ptv_flag tran_flag ast_flag "
            "obm_flag micro_flag etv_flag ima_flag dkin_flag ttv_flag pl_nnotes st_nphot st_nrvc "
            "st_nspec pl_nespec pl_ntranspec pl_ndispec pl_bmassprov"
        ),
    ),
}


def read_exoplanets(name: str, folder: Path) -> Table:
    """A table of candidates; its file is the one CSV in the folder.

    Rows without a disposition are left out. Planets of one star stay together in the split.

    Raises:
        DataError: no file or several, no column of dispositions, or a damaged file; names it.
    """
    about, file = TABLES[name], _only_file(name, folder)
    table = read_csv(file, str(file), comments=True)
    missing = [column for column in (about.target, about.star) if column not in table.columns]
    if missing:
        raise DataError(
            f"{file} has no column {' and no column '.join(missing)}, as the archive's table for "
            f"{name} has; take its columns by their database names. It has: {listed(table.columns)}"
        )
    kept, notes = _kept(table, about)
    never = about.unlearnt | ANY | {about.target, about.star}
    left_out = sorted((about.unlearnt | ANY) & set(table.columns))
    return Table(
        title=name,
        columns={column: cells.take(kept) for column, cells in table.columns.items()},
        target=about.target,
        names=[table.where(kept[i : i + 1]) for i in range(len(kept))],
        groups=about.star,
        unlearnt=never,
        notes=(
            *notes,
            f"Not learnt from, as they name the object or were decided with or after its "
            f"disposition: {listed(left_out)}.",
            f"Rows of one star ({about.star!r}) stay together in the split.",
        ),
    )


def _only_file(name: str, folder: Path) -> Path:
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise absent(name, folder, ("a CSV file",))
    if len(files) > 1:
        raise DataError(
            f"{name}: {folder} has {len(files)} CSV files ({listed([f.name for f in files], 5)}); "
            "leave the one to read"
        )
    if files[0].stat().st_size == 0:
        raise DataError(f"{files[0]} is empty (0 bytes); download it again")
    return files[0]


def _kept(table: Table, about: Candidates) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """The rows that are examples, and what is said of the others."""
    take, notes = np.ones(table.rows, dtype=bool), []
    if about.only is not None and about.only in table.columns:
        take = table.columns[about.only].values == 1
        if others := int(np.count_nonzero(~take)):
            notes.append(
                f"{others:,} rows give other parameters of an object once more "
                f"({about.only} is not 1) and are left out."
            )
    unanswered = take & table.columns[about.target].missing
    if count := int(np.count_nonzero(unanswered)):
        notes.append(f"{count:,} rows without {about.target} are left out.")
    kept = np.flatnonzero(take & ~unanswered)
    if len(kept) == 0:
        raise DataError(f"{table.title} has no row with a value in {about.target}")
    return kept, tuple(notes)
