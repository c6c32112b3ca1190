"""Words whose full stop does not, or not always, end a sentence: in lower case, without the last stop."""

from __future__ import annotations

__all__ = ["BEFORE_MORE", "MAYBE_LAST", "NUMBERED", "STARTERS"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Always followed by what they belong to.
BEFORE_MORE = _words(
    """
    mr mrs ms mx dr drs prof st ste hon rev revd gen col maj capt cpt cmdr lt sgt cpl pvt adm gov sen
    rep
    pres messrs mme mlle mlles mgr
    vs viz cf e.g i.e eg ie ca approx resp incl excl esp
    vol vols fig figs eq eqs ch chap pp p eds
    hr frl bzw z.b d.h u.a s.o s.u vgl ggf evtl sog dipl
    sra srta sres ud uds núm pág
    boul n°
    sig sigg dott dott.ssa avv
    """
)

#: Belong to a number, where one follows.
NUMBERED = _words("no nos nr art op par sec secs ver")

#: May end a sentence, and as often do not: they do where the next word is a starter.
MAYBE_LAST = _words(
    """
    etc inc ltd co corp bros llc plc gmbh dept univ assn
    jr sr esq ph.d m.d b.a m.a d.c a.m p.m a.d b.c u.s u.k u.n e.u u.s.a
    jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun
    ave blvd rd hwy mt ft apt
    min max sec hrs mins lb lbs oz kg km cm mm
    usw u.s.w ecc
    """
)

#: Words that, capitalised, begin a sentence far more often than a name.
STARTERS = _words(
    """
    the a an this that these those there here it its he she they we i you my his her our their your
    but and or so yet if when while where what who why how although though because since after before as
    at by for
    from in on of to with without under over between during until once then thus hence however meanwhile
    moreover
    nevertheless otherwise still also even only not no nobody nothing some somebody someone all any both
    each every
    many most several such one two three is are was were do does did have has had will would can could
    should may
    might must let please yes
    der die das ein eine er sie es wir ich und aber oder wenn als dann doch
    le la les un une il elle ils elles nous je et mais ou si quand
    el los las una ella ellos nosotros yo y pero o cuando
    """
)
